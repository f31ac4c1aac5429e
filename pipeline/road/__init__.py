"""From a command to the stages that it needs."""
