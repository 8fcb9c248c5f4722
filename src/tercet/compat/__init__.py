"""The calls of the systems that Tercet comes from, for people who change one import.

`whisper_at` has whisper-at's names, `ichigo` those of ichigo and ichigo_asr. docs/compat.md says what
differs. Importing this package imports none of them.
"""
