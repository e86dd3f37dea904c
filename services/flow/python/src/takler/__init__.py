"""Takler's package, for the workflow server tce-flow: clients and the builder of flows."""
