"""Operations on hosts over SSH, and the connections they use; the only importer of paramiko."""

from batchrun.model.operation import OperationTable

__all__ = ["OPERATIONS"]

#: The operations on hosts, by name.
OPERATIONS: OperationTable = {}
