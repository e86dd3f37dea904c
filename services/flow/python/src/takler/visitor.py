"""Printing the nodes of a builder."""

from __future__ import annotations

from typing import Protocol, TextIO

from .core import Node

__all__ = ["NodeVisitor", "PrintVisitor", "pre_order_travel"]


class NodeVisitor(Protocol):
    """What is done at each node."""

    def visit(self, node: Node) -> None:
        """Called for a node, before its children."""

    def before_visit_child(self) -> None:
        """Called before each child."""

    def after_visit_child(self) -> None:
        """Called after each child."""


class PrintVisitor:
    """Prints nodes with their attributes, in Takler's layout."""

    def __init__(
        self,
        stream: TextIO,
        show_parameter: bool = False,
        show_trigger: bool = False,
        show_limit: bool = True,
        show_event: bool = True,
        show_meter: bool = True,
        show_repeat: bool = True,
    ) -> None:
        self.stream = stream
        self.level = 0
        self.show_parameter = show_parameter
        self.show_trigger = show_trigger
        self.show_limit = show_limit
        self.show_event = show_event
        self.show_meter = show_meter
        self.show_repeat = show_repeat

    def before_visit_child(self) -> None:
        self.level += 1

    def after_visit_child(self) -> None:
        self.level -= 1

    def visit(self, node: Node) -> None:
        indent = "  " * self.level
        self.stream.write(f"{indent}|- {node.name} [{node.node_status.name}]\n")
        for line in self._attributes(node):
            self.stream.write(f"{indent}    {line}\n")

    def _attributes(self, node: Node) -> list[str]:
        lines = []
        if self.show_repeat and node.repeat is not None:
            r = node.repeat.r
            lines.append(f"repeat {r.name} {r.value} [{r.start}, {r.end}]")
        if self.show_trigger:
            if node.trigger is not None:
                lines.append(f"trigger {node.trigger}")
            lines += [f"time {one.time.strftime('%H:%M')}" for one in node.times]
        if self.show_parameter:
            lines += [f"param {one.name} '{one.value}'" for one in node.user_parameters.values()]
        if self.show_limit:
            lines += [f"limit {one.name} [{one.value}/{one.limit}]" for one in node.limits]
        if self.show_event:
            lines += [
                f"event {one.name} [{'set' if one.value else 'unset'}]" for one in node.events
            ]
        if self.show_meter:
            lines += [
                f"meter {one.name} {one.min_value} {one.max_value} [{one.value}]"
                for one in node.meters
            ]
        return lines


def pre_order_travel(root_node: Node, visitor: NodeVisitor) -> None:
    """Visits a node and all below, each before its children."""
    visitor.visit(root_node)
    for child in root_node.children:
        visitor.before_visit_child()
        pre_order_travel(child, visitor)
        visitor.after_visit_child()
