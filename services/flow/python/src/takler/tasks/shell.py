"""Tasks whose jobs are made of scripts."""

from takler.core import ShellScriptTask

__all__ = ["ShellScriptTask"]
