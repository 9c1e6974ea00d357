"""Every setting, one dataclass per choice: what a name means stands here, what it is set to stands in ``conf/``."""
