-- Tables from a table specification: native ones for HTML and Word (header cells with their scope), Typst code for the PDF.
local util = ...
local tables = {}
local ALIGN = { l = "AlignLeft", c = "AlignCenter", r = "AlignRight" }
local TYPST_ALIGN = { l = "left", c = "center", r = "right" }

local function groups_of(spec)
  local groups = {}
  for _, group in ipairs(spec.row_groups or {}) do
    groups[math.tointeger(group[1])] = group[2]
  end
  return groups
end

local function row_id_of(spec, i, j)
  local ids = spec.cell_row_ids and spec.cell_row_ids[i]
  local id = ids and ids[j] or ""
  return id ~= "" and id or nil
end

-- Whether the texts of each column are long enough to deserve room on a narrow screen.
local function long_columns(spec)
  local long = {}
  for _, values in ipairs(spec.rows) do
    for j, value in ipairs(values) do
      long[j] = long[j] or #value > 60
    end
  end
  return long
end

local function cell(text, align, attributes, span, class)
  local content = { pandoc.Plain(util.cell(text)) }
  return pandoc.Cell(content, align, 1, span or 1, pandoc.Attr("", class and { class } or {}, attributes or {}))
end

local function body_row(spec, i, stub, long)
  local cells = {}
  for j, value in ipairs(spec.rows[i]) do
    local attributes = { ["row-id"] = row_id_of(spec, i, j) }
    if j <= stub then
      attributes.scope = "row"
    end
    table.insert(cells, cell(value, ALIGN[spec.align[j]], attributes, 1, long[j] and "long" or nil))
  end
  return pandoc.Row(cells)
end

-- The name of a group over all columns, in a span of its own that stays in sight when a wide table is scrolled.
local function group_row(label, n)
  local words = pandoc.Plain({ pandoc.Span(util.cell(label), pandoc.Attr("", { "stick" })) })
  local over_all = pandoc.Cell({ words }, "AlignLeft", 1, n, pandoc.Attr("", {}, { scope = "rowgroup" }))
  return pandoc.Row({ over_all }, pandoc.Attr("", { "group" }))
end

-- One table body for each group of rows, headed by the group's name over all columns.
local function bodies_of(spec, plain)
  local groups, long, stub = groups_of(spec), long_columns(spec), plain and 0 or math.tointeger(spec.stub or 1)
  local bodies = {}
  for i = 1, #spec.rows do
    local group = groups[i - 1]
    if group or #bodies == 0 then
      local head = group and { group_row(group, #spec.columns) }
      table.insert(bodies, { attr = pandoc.Attr(), head = head or {}, body = {}, row_head_columns = stub })
    end
    table.insert(bodies[#bodies].body, body_row(spec, i, stub, long))
  end
  return bodies
end

local function head_rows(spec)
  local rows = {}
  if spec.spanners and #spec.spanners > 0 then
    local cells = {}
    for _, spanner in ipairs(spec.spanners) do
      table.insert(cells, cell(spanner[1], "AlignCenter", { scope = "colgroup" }, math.tointeger(spanner[2])))
    end
    table.insert(rows, pandoc.Row(cells, pandoc.Attr("", { "spanners" })))
  end
  local cells = {}
  for j, name in ipairs(spec.columns) do
    table.insert(cells, cell(name, ALIGN[spec.align[j]], { scope = "col" }))
  end
  table.insert(rows, pandoc.Row(cells))
  return rows
end

-- A native table. `plain` marks the data behind a figure: no row headers.
function tables.native(spec, caption, plain)
  local colspecs = {}
  for j = 1, #spec.columns do
    table.insert(colspecs, { ALIGN[spec.align[j]], nil })
  end
  local long = {}
  if caption then
    long = { pandoc.Plain({ pandoc.Span(caption, pandoc.Attr("", { "caption" })) }) }
  end
  return pandoc.Table({ long = long }, colspecs, pandoc.TableHead(head_rows(spec)), bodies_of(spec, plain), pandoc.TableFoot())
end

local function put(out, text)
  out:insert(pandoc.RawInline("typst", text))
end

local function put_cell(out, text)
  put(out, "[")
  out:extend(util.cell(text))
  put(out, "], ")
end

local function typst_head(out, spec)
  put(out, "table.header(repeat: true, table.hline(stroke: 0.9pt + ink), ")
  if spec.spanners and #spec.spanners > 0 then
      for _, spanner in ipairs(spec.spanners) do
      local n = math.tointeger(spanner[2])
      put(out, ("table.cell(colspan: %d, align: center)["):format(n))
      if spanner[1] ~= "" then
        put(out, "#spanner[")
        out:extend(util.cell(spanner[1]))
        put(out, "]")
      end
      put(out, "], ")
    end
  end
  for j, name in ipairs(spec.columns) do
    put(out, "table.cell(align: bottom + " .. TYPST_ALIGN[spec.align[j]] .. ")")
    put_cell(out, name)
  end
  put(out, "table.hline(stroke: 0.5pt + ink)), ")
end

local function put_group(out, spec, label, open, close)
  put(out, (open .. "table.cell(colspan: %d, align: left, inset: (top: 6.5pt))[#row-group["):format(#spec.columns))
  out:extend(util.cell(label))
  put(out, "]]" .. close .. ", ")
end

-- Rows `first` to `last`. In the body the heading of a group is a header of its own that stands again where the group goes on
-- after a page break; the last one only if the footer goes on with it.
local function put_rows(out, spec, groups, first, last, in_body)
  local goes_on = not groups[last]
  local current = 0
  for i = first, last do
    current = groups[i - 1] and i or current
  end
  for i = first, last do
    if groups[i - 1] and in_body then
      local again = tostring(i < current or goes_on)
      put_group(out, spec, groups[i - 1], "table.header(level: 2, repeat: " .. again .. ", ", ")")
    elseif groups[i - 1] then
      put_group(out, spec, groups[i - 1], "", "")
    end
    for _, value in ipairs(spec.rows[i]) do
      put_cell(out, value)
    end
  end
end

-- Number of the last row that stands outside the footer: the last few rows go with the note.
local function last_of_body(spec)
  local n = #spec.rows
  return math.min(math.max(n - (n > 12 and 4 or 2), 1), n)
end

-- The Typst code of a table in the width, size and orientation its layout asks for, as one list of inlines; `note` under it.
function tables.typst(spec, note)
  local out, widths, aligns = pandoc.Inlines({}), {}, {}
  for j, width in ipairs(spec.layout.widths) do
    table.insert(widths, ("%gpt"):format(width))
    table.insert(aligns, TYPST_ALIGN[spec.align[j]])
  end
  local size = ("%gpt"):format(spec.layout.size)
  local format = "spec-table(%s, %s, (%s,), (%s,), "
  put(out, format:format(size, tostring(spec.layout.tight), table.concat(widths, ", "), table.concat(aligns, ", ")))
  typst_head(out, spec)
  local groups = groups_of(spec)
  local last = last_of_body(spec)
  put_rows(out, spec, groups, 1, last, true)
  put(out, "table.footer(repeat: false, ")
  put_rows(out, spec, groups, last + 1, #spec.rows, false)
  if #note > 0 then
    put(out, ("table.hline(stroke: 0.9pt + ink), table.cell(colspan: %d, align: left, inset: (x: 0pt, top: 5pt))[#note-text["):format(#spec.columns))
    out:extend(note)
    put(out, "]]))")
  else
    put(out, "table.hline(stroke: 0.9pt + ink)))")
  end
  return out
end

return tables
