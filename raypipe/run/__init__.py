"""Everything that touches Ray: shards through pools of workers, with commit, resume and accounting."""
