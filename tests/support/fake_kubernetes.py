"""A stand-in for the objects of one namespace: versions and conflicts as the API server has them, in memory."""

from copy import deepcopy

from modelyard.kube.api import Conflict, ConnectionLost


class FakeApi:
    namespace = "ml"

    def __init__(self):
        self.objects = {}
        self.applied = []
        self.deleted = []
        self.is_away = False
        self._version = 0

    def get(self, kind, name):
        self._answer()
        return deepcopy(self.objects.get((kind, name)))

    def write(self, document):
        self._answer()
        key = document["kind"], document["metadata"]["name"]
        there = self.objects.get(key)
        if (there["metadata"]["resourceVersion"] if there else None) != document["metadata"].get("resourceVersion"):
            raise Conflict(key)
        return self._keep(document)

    def apply(self, document):
        self._answer()
        self.applied.append((document["kind"], document["metadata"]["name"]))
        return self._keep(document)

    def delete(self, kind, name):
        self._answer()
        self.deleted.append((kind, name))
        self.objects.pop((kind, name), None)

    def found(self, kind):
        """All objects of a kind, by name."""
        return {name: deepcopy(one) for (other, name), one in self.objects.items() if other == kind}

    def _keep(self, document):
        self._version += 1
        kept = deepcopy(document)
        there = self.objects.get((document["kind"], document["metadata"]["name"]), kept)
        generation = there["metadata"].get("generation", 0) + (there is kept or there.get("spec") != kept.get("spec"))
        uid = there["metadata"].get("uid", f"uid-{self._version}")
        kept["metadata"] |= {"resourceVersion": str(self._version), "uid": uid, "generation": generation}
        self.objects[document["kind"], document["metadata"]["name"]] = kept
        return deepcopy(kept)

    def _answer(self):
        if self.is_away:
            raise ConnectionLost("nobody answers")
