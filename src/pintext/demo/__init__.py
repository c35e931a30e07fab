"""The demonstration: real purchases as three tasks, learned into one dictionary."""
