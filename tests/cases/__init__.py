"""Golden cases: documents and what hosts say in, plan, inventory and extra-vars out.

A case is a directory. It is given:

- `manifest.json`, `environment.json` (not when the manifest says everything), `orchestrator.toml` (optional);
- `state.json` (optional): host → `{"placements": [...]}` as the host program's phase `observe` writes them,
  or `{"unreachable": "why"}`. A host that is missing was not asked. A field that a placement leaves out is
  that of a converged one: `{"application": "shop"}` is a host on which nothing is to be done;
- `artifacts.json` (optional): application → fields of what resolving found that are to be other than usual;
- `request.json` (optional): `environment` that is asked for, `applications` and `limits` that are selected.

What comes out is compared: `plan.json`, `inventory.json` and `extravars.json`, or, when the documents are refused,
`errors.txt` alone. `make cases` writes it anew, for review as a diff. A new case needs no Python.
"""
