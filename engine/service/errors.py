"""What can go wrong in the service, as sentences for the person who runs it."""


class ServiceError(Exception):
    """The service cannot start or go on; the text is one sentence fit for a terminal."""


class SettingsError(ServiceError):
    """The configuration is wrong; the text names the setting and what it must be."""
