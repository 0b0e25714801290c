"""An alert as an OCSF Detection Finding: class 2004 of the Open Cybersecurity Schema Framework, 1.8.0.

The class is defined at https://schema.ocsf.io/1.8.0/classes/detection_finding. What it has a place for is
put there; everything else of the alert is in ``unmapped`` under its own name, so nothing is lost. Fields
that an alert cannot know (owner, operating system) are left out, not guessed.

Times are epoch milliseconds. ``time`` is by definition when the finding was made; the engine reads no
clock, so it is the time of the completing event, which is the same in a replay.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from engine import __version__
from engine.alerts import Alert, Deviation, StepEvidence
from engine.events import epoch_ms

VERSION: Final = "1.8.0"
CLASS_UID: Final = 2004

_ACTIVITIES = {"create": (1, "Create"), "update": (2, "Update"), "close": (3, "Close")}
_SEVERITIES = {
    "info": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
_CONFIDENCES = {"low": (1, "Low"), "medium": (2, "Medium"), "high": (3, "High")}
_STATUSES = {"open": (1, "New"), "closed": (4, "Resolved")}
_RULE_TYPE: Final = 1
_UNKNOWN_DEVICE: Final = 0
_UNMAPPED = (
    "schema",
    "revision",
    "revisable_until",
    "created_severity",
    "incomplete",
    "key",
    "window",
    "fields",
    "excluded",
    "gaps",
    "timing",
    "changes",
    "cause",
    "response",
    "meta",
    "dedup",
    "texts",
)
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_TACTIC = re.compile(r"TA\d{4}")
_PORTS = range(65_536)


def detection_finding(alert: Alert) -> dict[str, Any]:
    """The finding, ready to be encoded as JSON; keys in the order of the class's groups."""
    activity_id, activity = _ACTIVITIES[alert.activity]
    severity_id, severity = _SEVERITIES.get(alert.severity, (0, "Unknown"))
    confidence_id, confidence = _CONFIDENCES[alert.confidence.level]
    status_id, status = _STATUSES[alert.status]
    device = _device(alert.device)
    return _without_none(
        {
            "category_uid": 2,
            "category_name": "Findings",
            "class_uid": CLASS_UID,
            "class_name": "Detection Finding",
            "activity_id": activity_id,
            "activity_name": activity,
            "type_uid": CLASS_UID * 100 + activity_id,
            "type_name": f"Detection Finding: {activity}",
            "time": epoch_ms(alert.time),
            "start_time": epoch_ms(alert.window.start),
            "end_time": epoch_ms(alert.window.end),
            "count": alert.dedup.count,
            "severity_id": severity_id,
            "severity": severity,
            "confidence_id": confidence_id,
            "confidence": confidence,
            "status_id": status_id,
            "status": status,
            "status_detail": "; ".join(alert.confidence.why) or None,
            "is_alert": alert.status == "open",
            "risk_score": None if alert.risk is None or not math.isfinite(alert.risk) else round(alert.risk),
            "message": alert.title,
            "metadata": {
                "version": VERSION,
                "uid": f"{alert.id}.{alert.revision}",
                "event_code": alert.rule.name,
                "log_name": "alerts",
                "original_time": alert.time,
                "product": {"name": "thenwire", "vendor_name": "thenwire", "version": __version__},
            },
            "finding_info": _finding_info(alert),
            "device": device,
            "resources": None if device is None else [{"uid": alert.device, "type": "Device"}],
            "evidences": [_evidence(step, device) for step in alert.steps] or None,
            "anomaly_analyses": [_anomaly(d, alert.device or "fleet") for d in alert.deviation] or None,
            "unmapped": _unmapped(alert),
        }
    )


def encode_finding(alert: Alert) -> bytes:
    """The finding as one line of JSON."""
    return msgspec.json.encode(detection_finding(alert))


def _finding_info(alert: Alert) -> dict[str, Any]:
    analytics = [str(name) for name in alert.attack.get("analytics", [])]
    return _without_none(
        {
            "uid": alert.id,
            "title": alert.title,
            "desc": alert.reason,
            "analytic": _without_none(
                {
                    "type_id": _RULE_TYPE,
                    "type": "Rule",
                    "uid": alert.rule.name,
                    "name": alert.rule.name.replace("_", " "),
                    "version": alert.rule.version or None,
                }
            ),
            "related_analytics": [
                {"type_id": _RULE_TYPE, "type": "Rule", "uid": name, "category": "MITRE ATT&CK"}
                for name in analytics
            ]
            or None,
            "attacks": _attacks(alert) or None,
            "data_sources": list(dict.fromkeys(step.source for step in alert.steps)) or None,
            "first_seen_time": epoch_ms(alert.window.start),
            "last_seen_time": epoch_ms(alert.window.end),
            "created_time": epoch_ms(alert.time) if alert.activity == "create" else None,
        }
    )


def _attacks(alert: Alert) -> list[dict[str, Any]]:
    """The techniques and tactics that the author wrote; what is no such id stays in ``unmapped``."""
    found: list[dict[str, Any]] = []
    version = alert.attack.get("version")
    for written in alert.attack.get("techniques", []):
        uid = str(written)
        part: dict[str, Any]
        if _TACTIC.fullmatch(uid):
            part = {"tactic": {"uid": uid}}
        elif not (technique := _TECHNIQUE.fullmatch(uid)):
            continue
        elif technique[1]:
            part = {"technique": {"uid": uid.partition(".")[0]}, "sub_technique": {"uid": uid}}
        else:
            part = {"technique": {"uid": uid}}
        found.append(part if version is None else {**part, "version": version})
    return found


def _device(uid: str) -> dict[str, Any] | None:
    """A fleet rule is about no device. Of what type a device is the engine does not know."""
    return {"uid": uid, "type_id": _UNKNOWN_DEVICE, "type": "Unknown"} if uid else None


def _evidence(step: StepEvidence, device: dict[str, Any] | None) -> dict[str, Any]:
    """One event of the match; of a connection also where it went, as far as OCSF's types take it."""
    fields = step.fields
    endpoint: dict[str, Any] = {}
    if step.kind.startswith("net."):
        ip, host, port = (fields.get(name) for name in ("ip", "host", "port"))
        endpoint = _without_none(
            {
                "ip": ip if isinstance(ip, str) else None,
                "hostname": host if isinstance(host, str) else None,
                "port": port if isinstance(port, int) and port in _PORTS else None,
            }
        )
    return _without_none(
        {
            "uid": step.event_id,
            "name": step.name,
            "device": device,
            "dst_endpoint": endpoint if "ip" in endpoint or "hostname" in endpoint else None,
            "data": msgspec.to_builtins(step),
        }
    )


def _anomaly(deviation: Deviation, target: str) -> dict[str, Any]:
    value, centre = deviation.value, deviation.centre
    history = f"history of the {deviation.scope}, {deviation.state}"
    if deviation.expected_low is not None and deviation.expected_high is not None:
        history = f"{deviation.expected_low:.15g} to {deviation.expected_high:.15g}; {history}"
    found: dict[str, Any] = {
        "analysis_targets": [{"name": target, "type": "Device"}],
        "anomalies": [
            {
                "observation_parameter": deviation.baseline,
                "observation_type": deviation.function,
                "observed_pattern": f"{deviation.function} {deviation.score:.15g}",
                "observations": [{"value": value if isinstance(value, str) else f"{value:.15g}", "count": 1}],
            }
        ],
    }
    if centre is not None:
        found["baselines"] = [
            {
                "observation_parameter": deviation.baseline,
                "observation_type": deviation.function,
                "observed_pattern": history,
                "observations": [{"value": f"{centre:.15g}", "count": deviation.samples}],
            }
        ]
    return found


def _unmapped(alert: Alert) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.to_builtins(alert)
    found = {name: whole[name] for name in _UNMAPPED if whole.get(name) not in (None, {}, [])}
    found["rule"] = {"hash": alert.rule.hash, "params": alert.rule.params}
    found["attack"] = alert.attack
    return found


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
