"""Limits of an archive: beyond them it is not the competition's, or it is a zip bomb.

Sizes of tiles and of what holds them grow with the area of a tile of another size (``TILE``).
"""

from pipeline.data.tables import AREA, MAX_BYTES

MAX_TILE = int(2**20 * AREA)
"""Largest PNG in bytes; a competition tile has some 10 to 20 KiB."""
MAX_CSV = MAX_BYTES
"""Largest table in bytes."""
MAX_ZIP = int(4 * 2**30 * AREA)
"""Largest nested zip in bytes."""
MAX_TOTAL = int(4 * 2**30 * AREA)
"""Most bytes that are unpacked in all; the competition has some 250 MiB."""
MAX_MEMBERS = 200_000
"""Most members of all zips that are opened, or files and folders in a folder."""
MAX_ZIP_DEPTH = 3
"""Zips inside zips: the archive, ``competition_data.zip`` in it, ``train.zip`` in that."""
MAX_FOLDER_DEPTH = 6
"""Folders inside a folder."""
MAX_DIRECTORY = 32 * 2**20
"""Largest list of a zip's members in bytes."""
