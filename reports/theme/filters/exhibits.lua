-- Figures and tables: the fenced blocks a notebook writes become numbered, captioned, accessible exhibits of each format.
local util, tables = ...
local exhibits = {}

local WHOLE = 150 -- points; a lower table never breaks over pages
local ROOM_FOR_NOTE = 360 -- points; in a narrower table the note would be a column of its own

local function load(block)
  local spec = pandoc.json.decode(block.text, false)
  if spec.ref then
    local file = io.open("exhibits/" .. spec.ref .. ".json", "r")
    if not file then
      util.fail("no such exhibit: exhibits/" .. spec.ref .. ".json")
    end
    spec = pandoc.json.decode(file:read("a"), false)
    file:close()
  end
  return spec
end

local function check(spec)
  if util.is_blank(spec.title) then
    util.fail("exhibit " .. spec.id .. " has no caption")
  end
  if spec.kind == "figure" and util.is_blank(spec.alt) then
    util.fail("figure " .. spec.id .. " has no alt text")
  end
  if spec.kind == "figure" and util.same_words(spec.alt, spec.title) then
    util.fail("the alt text of figure " .. spec.id .. " only repeats its caption: say the finding")
  end
end

-- The specification with its number; `numbers` and `order` are the document's.
function exhibits.read(block, order)
  local spec = load(block)
  spec.anchor = block.identifier
  spec.word = spec.kind == "figure" and "Figure" or "Table"
  if spec.folded then
    check(spec) -- without a number, since paper does not have it
  elseif not spec.skipped then
    check(spec)
    order[spec.kind] = (order[spec.kind] or 0) + 1
    spec.number = order[spec.kind]
    order.all = (order.all or 0) + 1
    spec.index = order.all
  end
  return spec
end

local function caption(spec)
  local label = ("%s %d."):format(spec.word, spec.number)
  local head = util.typst and pandoc.Strong({ pandoc.Str(label) }) or pandoc.Span({ pandoc.Str(label) }, pandoc.Attr("", { "label" }))
  local out = pandoc.Inlines({ head, pandoc.Space() })
  out:extend(util.inlines(spec.title))
  return out
end

local function note(spec, extra)
  local out = pandoc.Inlines({})
  if not util.is_blank(spec.footnote) then
    out:insert(pandoc.Emph({ pandoc.Str("Note.") }))
    out:insert(pandoc.Space())
    out:extend(util.inlines(spec.footnote))
  end
  if extra then
    out:insert(pandoc.Space())
    out:insert(extra)
  end
  return out
end

local function csv(spec)
  local function field(text)
    return '"' .. text:gsub('"', '""') .. '"'
  end
  local lines = {}
  for _, row in ipairs({ spec.columns, table.unpack(spec.rows) }) do
    local cells = {}
    for _, value in ipairs(row) do
      table.insert(cells, field(value))
    end
    table.insert(lines, table.concat(cells, ","))
  end
  local text = table.concat(lines, "\n") .. "\n"
  return (text:gsub("[^%w%-_%.~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function download(spec)
  local link = '<a class="csv" download="%s.csv" href="data:text/csv;charset=utf-8,%s">Download as CSV</a>'
  -- Away from the report nothing else says that the data are synthetic.
  local name = spec.id .. (util.is_blank(spec.status) and "" or "-synthetic")
  return link:format(util.escape(name), csv(spec))
end

local function box(content, label)
  local open = '<div class="table-box" tabindex="0" role="region" aria-label="%s">'
  return { util.raw_block(open:format(util.escape(label))), content, util.raw_block("</div>") }
end

local function html(spec)
  local blocks = pandoc.Blocks({})
  local label = ("%s %d: %s"):format(spec.word, spec.number, pandoc.utils.stringify(util.inlines(spec.title)))
  local rows = table.concat(spec.row_ids or {}, " ")
  local attributes = ('class="exhibit %s" data-exhibit="%s"%s'):format(spec.kind, util.escape(spec.id), rows ~= "" and (' data-row-ids="' .. util.escape(rows) .. '"') or "")
  if spec.anchor ~= "" then
    attributes = attributes .. ' id="' .. spec.anchor .. '"'
  end
  if spec.kind == "figure" then
    blocks:insert(util.raw_block("<figure " .. attributes .. ">"))
    local box_of = '<div class="figure-box" tabindex="0" role="group" aria-label="%s">'
    blocks:insert(util.raw_block(box_of:format(util.escape(label))))
    blocks:insert(pandoc.Plain({ pandoc.Image(spec.alt, "exhibits/" .. spec.id .. ".svg") }))
    blocks:insert(util.raw_block("</div>"))
    blocks:insert(pandoc.Plain({ util.raw("<figcaption>"), table.unpack(caption(spec)) }))
    blocks:insert(pandoc.Plain({ util.raw("</figcaption>") }))
  else
    blocks:insert(util.raw_block("<div " .. attributes .. ">"))
    blocks:extend(box(tables.native(spec, caption(spec)), label))
  end
  local words = note(spec)
  if #words > 0 then
    blocks:insert(pandoc.Div({ pandoc.Para(words) }, pandoc.Attr("", { "note" })))
  end
  if spec.kind == "figure" then
    blocks:insert(util.raw_block(("<details><summary>The numbers behind %s %d</summary>"):format(spec.word, spec.number)))
    blocks:extend(box(tables.native(spec, nil, true), "The numbers behind " .. label))
    blocks:insert(util.raw_block("<p>" .. download(spec) .. "</p></details></figure>"))
  else
    blocks:insert(util.raw_block('<p class="download">' .. download(spec) .. "</p></div>"))
  end
  return blocks
end

local function typst_figure(spec, put)
  put(("file: %s, alt: %s"):format(util.literal("exhibits/" .. spec.id .. ".svg"), util.literal(spec.alt)))
  return note(spec)
end

local function typst_table(spec, put, out)
  local width = 0
  for _, part in ipairs(spec.layout.widths) do
    width = width + part
  end
  local words, inside = note(spec), width > ROOM_FOR_NOTE
  local whole = tostring(spec.layout.height < WHOLE or #spec.rows < 4)
  put(("landscape: %s, whole: %s, body: "):format(tostring(spec.layout.landscape), whole))
  out:extend(tables.typst(spec, inside and words or pandoc.Inlines({})))
  return inside and pandoc.Inlines({}) or words
end

local function typst(spec)
  local out = pandoc.Inlines({})
  local function put(text)
    out:insert(pandoc.RawInline("typst", text))
  end
  local is_figure = spec.kind == "figure"
  put(is_figure and ("#figure-exhibit(index: %d, "):format(spec.index) or "#table-exhibit(")
  put(("label: %s, "):format(spec.anchor ~= "" and ("<" .. spec.anchor .. ">") or "none"))
  local words = (is_figure and typst_figure or typst_table)(spec, put, out)
  put(", caption: [")
  out:extend(caption(spec))
  put("], note: [")
  out:extend(words)
  put("])")
  return pandoc.Blocks({ pandoc.Plain(out) })
end

local function docx(spec)
  local blocks = pandoc.Blocks({})
  if spec.kind == "figure" then
    local image = pandoc.Image(spec.alt, "exhibits/" .. spec.id .. ".png", "", pandoc.Attr("", {}, { width = "6in" }))
    blocks:insert(pandoc.Figure({ pandoc.Plain({ image }) }, { long = { pandoc.Plain(caption(spec)) } }))
  else
    blocks:insert(tables.native(spec, caption(spec)))
  end
  local words = note(spec)
  if #words > 0 then
    blocks:insert(pandoc.Para(words))
  end
  return pandoc.Blocks({ pandoc.Div(blocks, pandoc.Attr(spec.anchor)) })
end

local function skipped(spec)
  local words = pandoc.Inlines({ pandoc.Emph({ pandoc.Str("A " .. spec.kind .. " is not shown here:") }), pandoc.Space() })
  words:extend(util.inlines(spec.skipped))
  if util.typst then
    words:insert(1, pandoc.RawInline("typst", "#skipped["))
    words:insert(pandoc.RawInline("typst", spec.anchor ~= "" and ("] #metadata(none) <" .. spec.anchor .. ">") or "]"))
    return pandoc.Blocks({ pandoc.Plain(words) })
  end
  return pandoc.Blocks({ pandoc.Div({ pandoc.Para(words) }, pandoc.Attr(spec.anchor, { "skipped" })) })
end

-- A long list for those who look something up: folded in HTML, left out on paper.
local function folded(spec)
  local blocks = pandoc.Blocks({})
  if util.html then
    local open = '<div class="exhibit table" data-exhibit="%s"><details><summary>%s</summary>'
    blocks:insert(util.raw_block(open:format(util.escape(spec.id), util.escape(spec.title))))
    blocks:extend(box(tables.native(spec, nil), spec.title))
    local words = note(spec)
    if #words > 0 then
      blocks:insert(pandoc.Div({ pandoc.Para(words) }, pandoc.Attr("", { "note" })))
    end
    blocks:insert(util.raw_block("<p>" .. download(spec) .. "</p></details></div>"))
  end
  return blocks
end

function exhibits.blocks(spec)
  if spec.folded then
    return folded(spec)
  end
  if spec.skipped then
    return skipped(spec)
  end
  return (util.html and html or util.typst and typst or docx)(spec)
end

return exhibits
