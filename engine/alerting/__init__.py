"""What an alert says, one file a part. ``engine.alert_builder`` puts the parts together.

Everything that does not change from match to match is worked out once, when the rule is loaded:
an alert is built while events wait.
"""
