"""The places a tool may come from, one module each.

Every source has ``NAME``, ``offers(tool)``, whether tools.toml names the tool there, and ``fill(tool, fresh)``: it puts
the tool's programs into ``fresh / "bin"`` and raises Unavailable, with one line saying why, when it can't.
"""
