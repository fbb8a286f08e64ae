"""What can go wrong with the local stack, one class per reaction of the person who meets it."""


class StackError(Exception):
    """The local stack cannot do what was asked; the message says what happened and what to do."""


class MissingProgramError(StackError):
    """A program the stack needs is not on this machine: install it and try again."""


class HomeError(StackError):
    """The home, or what is written in it, cannot be used: change it or its permissions."""


class ServerError(StackError):
    """Kafka or Postgres did not start or stop as it should: read the log the message names."""
