"""A Kubernetes API for Helm: it keeps what it is given, and refuses what a real one would refuse by schema.

What it is: discovery, namespaces, create, get, list, watch, the patches of Helm 3 and of Helm 4 (server-side apply with
field owners), delete with garbage collection, strict schemas on every write, immutable fields, and controllers that
report each workload as rolled out. What it is not: nothing is scheduled or started but the pods of hooks, whose
outcome a test decides; admission plugins, quotas, RBAC, defaults beyond a few, conversion between versions and merging
of lists by server-side apply are left out. A pass here says that Helm and this chart agree, not that a cluster runs it.
"""
