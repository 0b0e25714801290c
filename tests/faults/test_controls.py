"""Controls: a service with a fault planted in it loses or doubles alerts, and the campaign must say so."""

from pathlib import Path

from campaign import Plan, run_short


def test_without_message_ids_alerts_are_doubled_and_the_campaign_says_so(
    binary: Path, tmp_path: Path
) -> None:
    plan = Plan(
        service_kills=5, server_kills=0, both_kills=0, checkpoint="1s", broken="no_message_id", reloads=False
    )
    found = run_short(plan, tmp_path, binary).found
    assert found.alerts.duplicate > 0
    assert found.alerts.missing == 0
    assert any("duplicate" in sentence for sentence in found.wrong)


def test_an_acknowledgement_before_the_checkpoint_loses_alerts_and_the_campaign_says_so(
    binary: Path, tmp_path: Path
) -> None:
    plan = Plan(service_kills=5, server_kills=0, both_kills=0, broken="ack_first", reloads=False)
    found = run_short(plan, tmp_path, binary).found
    assert found.alerts.missing > 0
    assert any("missing" in sentence for sentence in found.wrong)
