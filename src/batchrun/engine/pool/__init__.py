"""The pool of worker processes: one pair of sockets per worker, nothing shared between workers.

pool.py      WorkerPool: what users and the engine call
loop.py      the thread that owns everything
desk.py        who gets which call         crew.py    how workers live and die
watch.py       the selector                process.py one worker seen from here
calls.py       what is owed                endings.py what dead workers leave behind
worker.py    the child's side
wire.py      what travels between the two
"""
