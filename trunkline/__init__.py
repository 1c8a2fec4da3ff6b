"""The rails of the event backbone: topology, settings, delivery, broker, web and command line."""

__version__ = "0.1.0"
