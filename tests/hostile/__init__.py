"""The campaign: hostile input of every kind, made from seeds, fed to the real readers.

    python -m tests.hostile --campaign --inputs 100000     hours of it, into figures.json
    python -m tests.hostile --kills 500                    commands killed at random moments
    python -m tests.hostile --again recipe 1234            one input again, with its traceback
    python -m tests.hostile --write                        figures.json -> docs/security.md

`makers` of one kind write an input into a folder, `kinds` names them with their readers, `watched`
is the process in which they are read, `campaign` drives it, `kills` and `faults` end commands or
take the disk from them while they write.
"""
