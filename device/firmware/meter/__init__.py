"""The meter. Here is only what each part of a start may say: that this board is no meter yet."""


class NotConfigured(Exception):
    """No configuration, or one that a meter cannot run with; says what is wrong."""
