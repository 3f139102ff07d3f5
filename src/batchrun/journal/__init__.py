"""The record of runs, on disk: written while they run, read to resume, to look back, to report.

    events ──► JournalSink ──► Writer (own thread) ──► one SQLite database for each run
                                                           │
    history (index of runs) ◄── begin and end of runs      └──► Recorded: events, units, results

Sinks and readers meet in the schema only. Nothing here knows job files or terminals.
"""
