"""What operating systems, file managers and editors leave beside images: one list for every reader."""

import re

# Whole names, casefolded.
_NAMES = frozenset(
    {
        *("__macosx", ".ds_store", ".appledouble", ".lsoverride", "icon\r"),  # macOS
        *(".trashes", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
        *("network trash folder", "temporary items"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
        *("$recycle.bin", "system volume information"),
        *("lost+found", ".directory", ".thumbnails", ".xdg-volume-info"),  # Linux
        *("@eadir", "#recycle", "@recycle", "#snapshot", ".@__thumb", "@recently-snapshot"),  # network storage
        *(".ipynb_checkpoints", ".nomedia", "picasa.ini", ".picasa.ini"),
    }
)
# AppleDouble files, a desktop's bin, what NFS and FUSE keep of deleted files, Office's locks, Windows' streams
_PATTERN = re.compile(r"\._|\.trash-\d|\.nfs[0-9a-f]{8}|\.fuse_hidden|~\$|thumbs\.db:")


def is_litter(name: str) -> bool:
    """Whether a file's or folder's name, without its path, is litter, in any case."""
    folded = name.casefold()
    return folded in _NAMES or _PATTERN.match(folded) is not None
