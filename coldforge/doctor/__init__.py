"""What ``coldforge doctor`` looks at. Probes gather facts, rules turn facts into findings.

Reads only, with one exception that has to be asked for: `--wake`. Needs the extra
``coldforge[doctor]`` for Azure's SDKs; the rest of the client does not.
"""
