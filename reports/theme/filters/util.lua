-- Small helpers of the report's filter: raw output for one writer, escaping, failing with words a person can use.
local util = {}

util.html = FORMAT:match("html") ~= nil
util.typst = FORMAT:match("typst") ~= nil
util.docx = FORMAT:match("docx") ~= nil

function util.fail(message)
  error("p4equity: " .. message, 0)
end

function util.raw(text)
  return pandoc.RawInline(util.typst and "typst" or "html", text)
end

function util.raw_block(text)
  return pandoc.RawBlock(util.typst and "typst" or "html", text)
end

-- A string literal of Typst: cells and alt texts never become markup.
function util.literal(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n"):gsub("\t", " ") .. '"'
end

function util.escape(text)
  return (text:gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;"):gsub('"', "&quot;"))
end

-- Long names such as row ids may break after their punctuation (a zero-width space tells Typst so).
local function breakable(text)
  return (text:gsub("%S+", function(word)
    return #word > 24 and word:gsub("([_/:|%.%-])", "%1\u{200b}") or word
  end))
end

-- Markdown to the inlines of its one paragraph.
function util.inlines(text)
  if text == nil or text == "" then
    return pandoc.Inlines({})
  end
  return pandoc.utils.blocks_to_inlines(pandoc.read(text, "markdown-raw_html-raw_tex").blocks, { pandoc.Space() })
end

-- A table cell: plain text, unless it holds a traced number, a reference or a citation.
function util.cell(text)
  if text:find("[@", 1, true) or text:find("]{", 1, true) then
    return util.inlines(text)
  end
  local out = pandoc.Inlines({})
  for line in (text .. "\n"):gmatch("(.-)\n") do
    if #out > 0 then
      out:insert(pandoc.LineBreak())
    end
    if util.typst then
      out:insert(pandoc.RawInline("typst", "#" .. util.literal(breakable(line)) .. ";"))
    else
      out:insert(pandoc.Str(line))
    end
  end
  return out
end

function util.is_blank(text)
  return text == nil or text:match("^%s*$") ~= nil
end

-- Words compared without regard to case, spaces and punctuation.
function util.same_words(a, b)
  local function bare(text)
    return (text:lower():gsub("[%s%p]+", ""))
  end
  return bare(a) == bare(b)
end

return util
