// The page at /docs: shows what openapi.json says, and lets it be tried out. It loads nothing from elsewhere, and writes
// everything as text, never as markup.
"use strict";

const made = (tag, text, ...children) => {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
};

const resolved = (document_, schema) => {
  let found = schema || {};
  while (found.$ref) found = found.$ref.slice(2).split("/").reduce((at, part) => at[part], document_);
  return found;
};

// An example of what a schema describes.
const example = (document_, schema, depth = 0) => {
  const found = resolved(document_, schema);
  if (found.example !== undefined) return found.example;
  if (found.examples) return found.examples[0];
  if (found.default !== undefined && found.default !== null) return found.default;
  const choices = found.anyOf || found.oneOf;
  if (choices) return example(document_, choices[0], depth + 1);
  if (depth > 8) return null;
  if (found.type === "array") return [example(document_, found.items, depth + 1)];
  if (found.type === "object" || found.properties) {
    const names = Object.entries(found.properties || {});
    return Object.fromEntries(names.map(([name, each]) => [name, example(document_, each, depth + 1)]));
  }
  return { string: "text", integer: 1, number: 0.5, boolean: true }[found.type] ?? null;
};

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

const answersOf = (document_, operation) => {
  const table = made("table");
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    table.append(made("tr", "", made("td", status), made("td", answer.description)));
  }
  return table;
};

const send = async (method, path, inputs, type, body, output) => {
  const query = [];
  let address = path;
  const headers = {};
  for (const [parameter, input] of inputs) {
    if (!input.value && parameter.in !== "path") continue;
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query") query.push(`${encodeURIComponent(parameter.name)}=${encodeURIComponent(input.value)}`);
    else headers[parameter.name] = input.value;
  }
  const key = document.getElementById("key").value.trim();
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = type.value;
  try {
    const url = "." + address + (query.length ? `?${query.join("&")}` : "");
    const answer = await fetch(url, { method, headers, body: body ? body.value : undefined });
    const text = await answer.text();
    const kind = answer.headers.get("content-type") || "";
    output.textContent = `${answer.status} ${answer.statusText}\n\n${kind.includes("json") && text ? asText(JSON.parse(text)) : text}`;
  } catch (error) {
    output.textContent = `no answer: ${error.message}`;
  }
};

const trial = (document_, method, path, operation) => {
  const form = made("div");
  const inputs = (operation.parameters || []).map((parameter) => {
    const input = made("input");
    if (parameter.name === "model") input.value = "default";
    form.append(made("label", `${parameter.name} (${parameter.in}${parameter.required ? "" : ", optional"}) `, input));
    if (parameter.description) form.append(made("small", parameter.description));
    return [parameter, input];
  });
  let type = null;
  let body = null;
  const contents = Object.entries((operation.requestBody || {}).content || {});
  if (contents.length) {
    type = made("select");
    type.append(...contents.map(([name]) => made("option", name)));
    body = made("textarea");
    const fill = () => {
      const content = Object.fromEntries(contents)[type.value];
      body.value = asText(content.example !== undefined ? content.example : example(document_, content.schema));
    };
    type.addEventListener("change", fill);
    fill();
    form.append(made("label", "Body ", type), body);
  }
  const output = made("pre");
  output.hidden = true;
  const button = made("button", "Send");
  button.addEventListener("click", async () => {
    output.hidden = false;
    output.textContent = "…";
    await send(method.toUpperCase(), path, inputs, type, body, output);
  });
  form.append(button, output);
  return form;
};

const shown = (document_, method, path, operation) => {
  const line = made("summary", "", made("b", method.toUpperCase()), made("code", path), operation.summary || "");
  const details = made("details", "", line);
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    details.append(
      made("div", "", made("p", operation.description || ""), answersOf(document_, operation), trial(document_, method, path, operation)),
    );
  });
  return details;
};

const show = async () => {
  const about = document.getElementById("about");
  const answer = await fetch("openapi.json");
  if (!answer.ok) {
    about.textContent = `openapi.json: ${answer.status} ${answer.statusText}`;
    return;
  }
  const document_ = await answer.json();
  about.textContent = `${document_.info.version}. ${document_.info.description}`;
  document.getElementById("key-field").hidden = !Object.values(document_.paths).some((methods) =>
    Object.values(methods).some((operation) => (operation.security || []).length),
  );
  const groups = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const name = (operation.tags || ["other"])[0];
      if (!groups.has(name)) groups.set(name, made("section", "", made("h2", name)));
      groups.get(name).append(shown(document_, method, path, operation));
    }
  }
  document.getElementById("operations").append(...groups.values());
};

show();
