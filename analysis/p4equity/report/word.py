"""The Word reference document: pandoc's own, with the document's status in the header of every page."""

from __future__ import annotations

import io
import zipfile
from html import escape

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_HEADER = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    f'<w:hdr xmlns:w="{_WORD}"><w:p><w:pPr><w:jc w:val="center"/></w:pPr>'
    '<w:r><w:rPr><w:b/><w:color w:val="5F4300"/><w:sz w:val="18"/></w:rPr><w:t>{text}</w:t></w:r></w:p></w:hdr>'
)
_TYPE = (
    '<Override PartName="/word/header1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.header+xml"/></Types>'
)
_RELATION = f'<Relationship Id="rIdStatus" Type="{_OFFICE}/header" Target="header1.xml"/></Relationships>'
_REFERENCE = f'<w:sectPr><w:headerReference xmlns:r="{_OFFICE}" w:type="default" r:id="rIdStatus"/>'


def with_header(reference: bytes, status: str) -> bytes:
    """`reference` (a .docx) with `status` in the header of every page; the same bytes each time."""
    edits = {
        "[Content_Types].xml": ("</Types>", _TYPE),
        "word/_rels/document.xml.rels": ("</Relationships>", _RELATION),
        "word/document.xml": ("<w:sectPr>", _REFERENCE),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(reference)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name in edits:
                old, new = edits[name]
                content = content.decode().replace(old, new, 1).encode()
            target.writestr(zipfile.ZipInfo(name), content)
        target.writestr(zipfile.ZipInfo("word/header1.xml"), _HEADER.replace("{text}", escape(status)))
    return out.getvalue()
