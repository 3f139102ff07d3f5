"""The engine below the operations: walking, copying and removing trees.

Everything below a root is done relative to directory descriptors and never through a symlink,
so that a directory swapped for a symlink meanwhile cannot lead outside the tree.
"""
