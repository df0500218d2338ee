"""The host's side of weightdock: runs its containers and speaks for them.

``cli`` reads a request, ``jobs`` turns it into one :class:`~weightdock_driver.run_spec.RunSpec` per container,
``engine`` makes containers of them, ``run`` listens to all at once, ``display`` shows it, ``verdict`` makes one report.
On a Swarm ``swarm_cli`` reads it, ``swarm_run`` makes services of the jobs, and ``swarm_engine`` stands for ``engine``.
"""

__version__ = "0.1.0"
