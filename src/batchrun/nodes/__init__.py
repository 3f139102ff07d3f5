"""Node sets, groups and the inventory; the only importer of ClusterShell."""
