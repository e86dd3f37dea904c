"""What the packages `takler` and `ecflow` share: calls to a server, and definition text."""
