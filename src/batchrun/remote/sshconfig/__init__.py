"""The configuration files of OpenSSH: text to sections, and what they say of one host.

`text` cuts lines into words, `values` gives words a meaning, `files` reads everything once into
sections with `conditions`, `tokens` replaces what stands for something else, `settings` is what
comes out for a host. `ignored` knows why some options do nothing here. The judge is `ssh -G`.
"""
