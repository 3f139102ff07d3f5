"""Node sets and inventories: which hosts a text means. The only importer of ClusterShell.

    text ──reading──► names and users ──inventory──► Host objects          names ──nodeset──► text
                         ▲
        groups and hosts of the inventory, groups of this machine (machinegroups)

ClusterShell is loaded when the first range or group of the machine is met, not by the import.
"""
