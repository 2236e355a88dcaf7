"""The GraphQL operations that a Weights & Biases client sends, each answered from what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.tracking.stored import Artifact, BackendRun

ENTITY = {"id": "entity", "name": "tester"}
Answer = dict[str, Any]


class Operations:
    """Everything that is stored, and one answer for each known operation.

    Operations are called under the server's lock. An operation raises KeyError for what does not exist.
    """

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[str, BackendRun] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.views: list[dict[str, Any]] = []
        self.projects: dict[str, str] = {}  # name -> entity
        self.known: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "Viewer": self.viewer,
            "GetDefaultEntity": self.viewer,
            "ServerInfo": self.server_info,
            "ServerFeaturesQuery": self.server_info,
            "OrganizationCoreWeaveOrganizationID": lambda _: {"entity": {"organization": None}},
            "XXHashDigestsEnabled": lambda _: {"entity": {"xxhashDigestsEnabled": False}},
            "FetchArtifactDigestAlgorithm": lambda _: {"project": {"artifactType": None}},
            "UpsertBucket": self.upsert_run,
            "RunResumeStatus": self.resume_status,
            "CreateRunFiles": self.create_run_files,
            "ArtifactType": self.artifact_type,
            "CreateArtifact": self.create_artifact,
            "CreateArtifactManifest": self.create_manifest,
            "UpdateArtifactManifest": self.update_manifest,
            "CreateArtifactFiles": self.create_artifact_files,
            "CommitArtifact": self.commit_artifact,
            "GetProjects": self.list_projects,
            "CreateProject": self.create_project,
            "ProjectInternalId": lambda _: {"project": {"id": "project", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}},
            "UpsertView2": self.upsert_view,
            "upsertView": self.upsert_view,
            "View": self.find_view,
            "SpecificReport": self.find_report,
        }

    def viewer(self, _: dict[str, Any]) -> Answer:
        """The user, who has no team."""
        name = ENTITY["name"]
        names = {"id": "user", "name": name, "entity": name, "username": name, "email": "tester@example.org"}
        return {"viewer": names | {"flags": "{}", "admin": False, "teams": {"edges": []}, "apiKeys": {"edges": []}}}

    def server_info(self, _: dict[str, Any]) -> Answer:
        """A server that takes every client and has no optional feature."""
        versions = {"max_cli_version": "99.0.0", "min_cli_version": "0.1"}
        return {"serverInfo": {"cliVersionInfo": versions, "latestLocalVersionInfo": None, "features": []}}

    def project(self, name: str, entity: str) -> Answer:
        """A project as other answers contain it."""
        self.projects[name] = entity
        return {"id": f"project-{name}", "name": name, "entityName": entity, "entity": ENTITY | {"name": entity}}

    def upsert_run(self, variables: dict[str, Any]) -> Answer:
        """Create a run, or change what is said about it."""
        name = variables.get("name") or str(variables["id"]).removeprefix("run-")
        known = self.runs.get(name)
        project = variables.get("project") or (known.project if known else "uncategorized")
        entity = variables.get("entity") or (known.entity if known else ENTITY["name"])
        if known and (known.project, known.entity) != (project, entity):
            raise KeyError(f"run {name} is in {known.entity}/{known.project}, not in {entity}/{project}")
        run = self.runs.setdefault(name, BackendRun(id=name, project=project, entity=entity))
        run.take_fields(variables)
        status = run.resume_status()
        bucket = {key: status[key] for key in ("id", "name", "displayName", "config", "historyLineCount")}
        bucket |= {"description": None, "sweepName": None, "project": self.project(project, entity)}
        return {"upsertBucket": {"bucket": bucket, "inserted": known is None}}

    def resume_status(self, variables: dict[str, Any]) -> Answer:
        """What is there of a run that a client may resume."""
        run = self.runs.get(variables["name"])
        project, entity = variables.get("project") or "uncategorized", variables.get("entity") or ENTITY["name"]
        found = run is not None and (run.project, run.entity) == (project, entity)
        return {"model": self.project(project, entity) | {"bucket": run.resume_status() if run and found else None}}

    def create_run_files(self, variables: dict[str, Any]) -> Answer:
        """Addresses to upload a run's files to."""
        run = self.runs[variables["run"]]
        files = [{"name": name, "uploadUrl": self.address("files", run.id, name)} for name in variables["files"]]
        return {"createRunFiles": {"runID": f"run-{run.id}", "uploadHeaders": [], "files": files}}

    def address(self, *parts: str) -> str:
        """Where a file is put and got."""
        return "/".join([self.url, *(quote(part) for part in parts)])

    def versions(self, name: str) -> list[Artifact]:
        """The committed versions of an artifact, oldest first."""
        return [artifact for artifact in self.artifacts.values() if artifact.name == name and artifact.committed]

    def artifact_type(self, variables: dict[str, Any]) -> Answer:
        """The type that a name was given before, for `name:alias`."""
        found = self.versions(variables["name"].partition(":")[0])
        return {"project": {"artifact": {"artifactType": {"name": found[-1].type}} if found else None}}

    def create_artifact(self, variables: dict[str, Any]) -> Answer:
        """A new version; what was committed with the same content is the same version and takes the aliases."""
        given = variables["input"]
        name = given["artifactCollectionName"]
        aliases = [item["alias"] for item in given.get("aliases") or []]
        versions = self.versions(name)
        artifact = next((version for version in versions if version.digest == given["digest"]), None)
        if artifact is None:
            number = f"artifact-{len(self.artifacts)}"
            artifact = Artifact(number, name, given["artifactTypeName"], given["digest"], aliases=aliases)
            self.artifacts[number] = artifact
        else:
            self.move_aliases(artifact, [*artifact.aliases, *aliases])
        artifact.metadata = json.loads(given.get("metadata") or "{}")
        run = self.runs.get(given.get("runName") or "")
        if run is not None and artifact not in run.artifacts:
            run.artifacts.append(artifact)
        latest = {"id": versions[-1].id} if versions else None
        state = "COMMITTED" if artifact.committed else "PENDING"
        sequence = {"id": f"sequence-{name}", "latestArtifact": latest}
        return {"createArtifact": {"artifact": {"id": artifact.id, "state": state, "artifactSequence": sequence}}}

    def move_aliases(self, artifact: Artifact, aliases: list[str]) -> None:
        """An alias names one version: the newest that took it."""
        for other in self.versions(artifact.name):
            other.aliases = [alias for alias in other.aliases if alias not in aliases]
        artifact.aliases = list(dict.fromkeys(aliases))

    def manifest(self, artifact: Artifact) -> Answer:
        """A manifest as its two mutations return it."""
        place = self.address("manifests", artifact.id, "wandb_manifest.json")
        file = {"id": "file", "name": "wandb_manifest.json", "displayName": "wandb_manifest.json"}
        return {"artifactManifest": {"id": artifact.id, "file": file | {"uploadUrl": place, "uploadHeaders": []}}}

    def create_manifest(self, variables: dict[str, Any]) -> Answer:
        """Where to upload an artifact's manifest."""
        return {"createArtifactManifest": self.manifest(self.artifacts[variables["artifactID"]])}

    def update_manifest(self, variables: dict[str, Any]) -> Answer:
        """Where to upload the manifest that replaces a former one."""
        return {"updateArtifactManifest": self.manifest(self.artifacts[variables["artifactManifestID"]])}

    def create_artifact_files(self, variables: dict[str, Any]) -> Answer:
        """Addresses to upload an artifact's files to, in the order asked for."""
        nodes = []
        for file in variables["input"]["artifactFiles"]:
            artifact, name = self.artifacts[file["artifactID"]], file["name"]
            place = {"storagePath": f"{artifact.id}/{name}", "uploadUrl": self.address("artifacts", artifact.id, name)}
            node = {"id": "file", "name": name, "displayName": name, "uploadHeaders": [], "uploadMultipartUrls": None}
            nodes.append({"node": node | place | {"artifact": {"id": artifact.id}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def commit_artifact(self, variables: dict[str, Any]) -> Answer:
        """From here on the version is whole and its aliases name it."""
        artifact = self.artifacts[variables["artifactID"]]
        self.move_aliases(artifact, artifact.aliases)
        artifact.committed = True
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def list_projects(self, variables: dict[str, Any]) -> Answer:
        """The projects of an entity, on one page."""
        owned = [self.project(name, entity) for name, entity in self.projects.items() if entity == variables["entity"]]
        rest = {"__typename": "Project", "createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None}
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": rest | project} for project in owned]}}

    def create_project(self, variables: dict[str, Any]) -> Answer:
        """A new, empty project."""
        given = variables["input"]
        entity = given.get("entityName") or given.get("entity_name") or ENTITY["name"]
        project = self.project(given["name"], entity) | {"description": "", "access": "PRIVATE", "views": "{}"}
        return {"result": {"project": project, "model": project, "inserted": True}}

    def upsert_view(self, variables: dict[str, Any]) -> Answer:
        """A workspace or report; one that comes with the id of a former one replaces it."""
        keys = ("type", "name", "displayName", "description", "entityName", "projectName")
        view = {key: variables.get(key) for key in keys} | {"spec": json.loads(variables["spec"])}
        number = next((place for place, old in enumerate(self.views) if old["id"] == variables.get("id")), None)
        if number is None and variables.get("id"):
            raise KeyError(f"view {variables['id']}")
        view["id"] = variables["id"] if number is not None else f"VmlldzoxMDA{len(self.views)}"
        if number is None:
            self.views.append(view)
        else:
            self.views[number] = view
        return {"upsertView": {"view": self.view_node(view), "inserted": number is None}}

    def view_node(self, view: dict[str, Any]) -> Answer:
        """A view as the answers contain it."""
        times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
        project = self.project(view["projectName"], view["entityName"])
        return view | times | {"spec": json.dumps(view["spec"]), "project": project}

    def find_view(self, variables: dict[str, Any]) -> Answer:
        """The views of a project that have a name."""
        nodes = [{"node": self.view_node(view)} for view in self.views if view["name"] == variables["viewName"]]
        return {"project": {"allViews": {"edges": nodes}}}

    def find_report(self, variables: dict[str, Any]) -> Answer:
        """One report by its id."""
        return {"view": next(self.view_node(view) for view in self.views if view["id"] == variables["reportId"])}
