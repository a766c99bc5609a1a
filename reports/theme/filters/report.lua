-- The report's one filter. First pass: number sections, exhibits and equations in the order of the document and build the
-- exhibits. Second pass: resolve cross references ([@fig:F2], [@tbl:T1], [@sec:gaps], [@eq:did]; an unknown one is an error) and
-- give images and formulas the alt texts a PDF/UA needs. Citations that are left go to citeproc.
local here = pandoc.path.directory(PANDOC_SCRIPT_FILE)
local function part(name, ...)
  return assert(loadfile(pandoc.path.join({ here, name .. ".lua" })))(...)
end
local util = part("util")
local tables = part("tables", util)
local exhibits = part("exhibits", util, tables)

local targets = {} -- anchor -> the words a reference to it prints
local order = {}
local counters = { 0, 0, 0, 0, 0, 0 }

local function register(anchor, words)
  if anchor == "" then
    return
  end
  if targets[anchor] then
    util.fail("two things are called " .. anchor)
  end
  targets[anchor] = words
end

local function number_of(level)
  counters[level] = counters[level] + 1
  for deeper = level + 1, 6 do
    counters[deeper] = 0
  end
  return table.concat(counters, ".", 1, level)
end

local function heading(block)
  local numbered = not block.classes:includes("unnumbered") and block.level <= 3
  if numbered then
    local number = number_of(block.level)
    register(block.identifier, "Section " .. number)
    if not util.typst then
      block.content:insert(1, pandoc.Space())
      block.content:insert(1, pandoc.Span({ pandoc.Str(number) }, pandoc.Attr("", { "number" })))
    end
  else
    register(block.identifier, pandoc.utils.stringify(block.content))
  end
  if util.html then
    block.level = block.level + 1
  end
  return block
end

local function equation(span)
  if not span.identifier:match("^eq:") then
    return nil
  end
  order.equation = (order.equation or 0) + 1
  register(span.identifier, "Equation " .. order.equation)
  span.classes:insert("equation")
  span.attributes.number = tostring(order.equation)
  return span
end

local function first_pass(document)
  local blocks = pandoc.Blocks({})
  for _, block in ipairs(document.blocks) do
    if block.t == "Header" then
      blocks:extend({ heading(block) })
    elseif block.t == "CodeBlock" and block.classes:includes("p4-exhibit") then
      local spec = exhibits.read(block, order)
      register(spec.anchor, spec.skipped and ("the " .. spec.kind .. " that is not shown") or ("%s %d"):format(spec.word, spec.number or 0))
      blocks:extend(exhibits.blocks(spec))
    else
      blocks:insert(block:walk({ Span = equation }))
    end
  end
  document.blocks = blocks
  return document
end

local function link(anchor)
  local words = targets[anchor]
  if not words then
    util.fail("a cross reference to " .. anchor .. ", which is nowhere in the document")
  end
  if util.typst then
    return pandoc.RawInline("typst", ("#link(<%s>)[%s]"):format(anchor, (words:gsub(" (%d)", "~%1"))))
  end
  return pandoc.Link((words:gsub(" (%d)", " %1")), "#" .. anchor, "", pandoc.Attr("", { "xref" }))
end

local cited = false

local function reference(cite)
  local links, found = pandoc.Inlines({}), 0
  for i, citation in ipairs(cite.citations) do
    if citation.id:match("^%a+:") then
      found = found + 1
      if i > 1 then
        links:insert(pandoc.Str(i == #cite.citations and " and " or ", "))
      end
      links:insert(link(citation.id))
    end
  end
  if found == 0 then
    cited = true
    return nil
  end
  if found < #cite.citations then
    util.fail("citations and cross references in one bracket: " .. pandoc.utils.stringify(cite))
  end
  return links
end

local function image(element)
  local alt = element.attributes.alt or pandoc.utils.stringify(element.caption)
  if util.is_blank(alt) then
    util.fail("an image without alt text: " .. element.src)
  end
  if element.src:match("^%a+://") then
    util.fail("an image from outside: " .. element.src)
  end
  if util.typst then
    return pandoc.RawInline("typst", ("#image(%s, alt: %s)"):format(util.literal(element.src), util.literal(alt)))
  end
end

local function typst_math(element, alt, number)
  local code = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ element }) }), "typst"):gsub("%s+$", "")
  local display = element.mathtype == "DisplayMath"
  return pandoc.RawInline(
    "typst",
    ("#math.equation(block: %s, numbering: %s, alt: %s, %s)"):format(
      tostring(display),
      number and ('_ => "(' .. number .. ')"') or "none",
      util.literal(alt or element.text),
      code
    )
  )
end

local function math(element)
  return util.typst and typst_math(element) or nil
end

-- Numbered equations, [$$...$$]{#eq:did alt="in words"}; runs before `math` sees what is inside.
local function numbered_math(span)
  if not span.classes:includes("equation") then
    return nil
  end
  local formula = span.content[1]
  if not formula or formula.t ~= "Math" then
    util.fail("an equation span must hold one formula: " .. span.identifier)
  end
  local number = span.attributes.number
  if util.typst then
    return { typst_math(formula, span.attributes.alt, number), pandoc.RawInline("typst", " <" .. span.identifier .. ">") }, false
  end
  span.attributes = {}
  span.content:insert(pandoc.Span({ pandoc.Str("(" .. number .. ")") }, pandoc.Attr("", { "number" })))
  return span, false
end

-- Tables written by hand in prose: header cells with scope and a box of their own to scroll in.
local function prose_table(element)
  if not util.html then
    return nil
  end
  for _, row in ipairs(element.head.rows) do
    for _, cell in ipairs(row.cells) do
      cell.attributes.scope = cell.attributes.scope or "col"
    end
  end
  return element
end

local function stray(block)
  if block.classes:includes("p4-exhibit") then
    util.fail("an exhibit inside another block: show exhibits on their own, not in a list or a box")
  end
end

-- Boxes, ::: callout and ::: {.callout .warning}; other divisions need nothing.
local function box(div)
  if util.typst and div.classes:includes("callout") then
    local warning = tostring(div.classes:includes("warning"))
    local blocks = pandoc.Blocks({ pandoc.RawBlock("typst", "#callout(warning: " .. warning .. ")[") })
    blocks:extend(div.content)
    blocks:insert(pandoc.RawBlock("typst", "]"))
    return blocks
  end
end

-- In Word the transparency box stands before the text; the other formats have it in their templates.
local function front(document)
  local rows = pandoc.Blocks({})
  for _, item in ipairs(util.docx and document.meta.transparency or {}) do
    local words = pandoc.Inlines({ pandoc.Strong(item.term), pandoc.Str(":"), pandoc.Space() })
    words:extend(item.value)
    rows:insert(pandoc.Plain(words))
  end
  if #rows > 0 then
    document.blocks:insert(1, pandoc.BulletList(rows:map(function(row)
      return { row }
    end)))
  end
  return document
end

-- The list of references has its heading here, because citeproc would give it the level of the title.
local function references(document)
  if cited then
    local header = pandoc.Header(util.html and 2 or 1, "References", pandoc.Attr("references", { "unnumbered" }))
    document.blocks:extend({ header, pandoc.Div({}, pandoc.Attr("refs")) })
  end
  return document
end

return {
  { Pandoc = first_pass },
  { traverse = "topdown", Cite = reference, Image = image, Math = math, Span = numbered_math, Table = prose_table, CodeBlock = stray, Div = box },
  { Pandoc = references },
  { Pandoc = front },
}
