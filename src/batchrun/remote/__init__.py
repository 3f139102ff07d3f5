"""Operations on hosts over SSH, and the connections they use; the only importer of paramiko."""
