"""How a service lives in processes: listening, draining, a master and its workers, the background."""
