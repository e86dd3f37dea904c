"""What generated clients of tasks use. Programs import from `tce.tasks`."""

from ._typed import TaskCall as TaskCall
from ._typed import TaskSender as TaskSender
