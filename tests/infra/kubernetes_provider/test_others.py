"""What others do to the same objects: by hand, or as managers of their own."""

import pytest
from pulumi import ResourceOptions, automation
from pulumi_kubernetes.core.v1 import ConfigMap

DEPLOYMENT = "apps/v1/deployments/app"


def test_a_field_changed_by_hand_shows_and_is_mended(yard):
    yard.up(lambda: yard.deployment(labels={"tier": "front"}))
    yard.patch(DEPLOYMENT, {"metadata": {"labels": {"tier": "back"}}})
    assert yard.preview(lambda: yard.deployment(labels={"tier": "front"})) == {"update": 1}
    assert yard.up(lambda: yard.deployment(labels={"tier": "front"})) == {"update": 1}
    assert yard.get(DEPLOYMENT)["metadata"]["labels"] == {"tier": "front"}


def test_a_refresh_takes_note_of_a_change_by_hand(yard):
    yard.up(lambda: yard.deployment(labels={"tier": "front"}))
    yard.patch(DEPLOYMENT, {"metadata": {"labels": {"tier": "back"}}})
    assert yard.refresh() == {"update": 1}
    assert yard.resources()["app"]["inputs"]["metadata"]["labels"] == {"tier": "back"}


def test_a_refresh_takes_note_of_a_deletion_by_hand(yard):
    yard.up(lambda: ConfigMap("colors", metadata=yard.named("colors")))
    yard.client.delete(f"/api/v1/namespaces/{yard.namespace}/configmaps/colors")
    assert yard.refresh() == {"delete": 1}


def test_fields_that_the_program_does_not_mention_are_none_of_its_business(yard):
    yard.up(yard.deployment)
    yard.patch(DEPLOYMENT, {"metadata": {"labels": {"tier": "back"}}, "spec": {"minReadySeconds": 3}})
    assert yard.up(yard.deployment) == {"same": 1}


def test_a_field_of_another_manager_is_a_conflict_that_names_both(yard):
    yard.up(yard.deployment)
    yard.patch(DEPLOYMENT, {"spec": {"replicas": 1}}, manager="scaler")
    with pytest.raises(automation.CommandError, match=r'\.spec\.replicas: conflict with "scaler"'):
        yard.up(yard.deployment)


def test_a_field_of_another_manager_is_taken_over_on_demand(yard):
    yard.up(yard.deployment)
    yard.patch(DEPLOYMENT, {"spec": {"replicas": 1}}, manager="scaler")
    assert yard.up(lambda: yard.deployment(annotations={"pulumi.com/patchForce": "true"})) == {"update": 1}
    assert yard.get(DEPLOYMENT)["spec"]["replicas"] == 0


def test_an_ignored_field_stays_with_its_manager(yard):
    def program():
        ConfigMap(
            "colors",
            metadata=yard.named("colors", labels={"tier": "front"}),
            opts=ResourceOptions(ignore_changes=["metadata.labels.tier"]),
        )

    yard.up(program)
    yard.patch("configmaps/colors", {"metadata": {"labels": {"tier": "back"}}}, manager="scaler")
    assert yard.up(program) == {"same": 1}
