"""Protocols: who is asked for what, how a cell is scored, and how cells become a report's section (`registry`)."""
