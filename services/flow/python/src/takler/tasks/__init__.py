"""The tasks of Takler."""

from .shell import ShellScriptTask

__all__ = ["ShellScriptTask"]
