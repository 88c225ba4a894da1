// The page: a text box, suggestions above keys, and a switch for learning.

import { remoteKeyboard } from "./remote.js";
import { Words } from "./words.js";

const ROWS = ["qwertyuiop", "asdfghjkl", "'zxcvbnm"];
const BACKSPACE = "M9 5h12v14H9l-6-7zm4 5 4 4m0-4-4 4";
const RETURN = "M20 6v7H5m5-5-5 5 5 5";

const [status, saved, learn, forget] = elements("status", "saved", "learn", "forget");
const [messages, composer, text, send] = elements("messages", "composer", "text", "send");
const [strip, keys] = elements("suggestions", "keys");
const keyboard = remoteKeyboard();
const pressed = { keys: 0, saved: 0 };
let vocabularySize = 0;
let rules;
let ready = false;

async function start() {
  drawKeys();
  drawSaved();
  try {
    const { manifest, characters } = await keyboard.open(new URL("./package/", location.href).href);
    vocabularySize = manifest.model.vocabulary;
    rules = new Words(characters);
    // What was learned is kept, and so is that it may be.
    learn.checked = localStorage.getItem("learn") === "yes";
    if (learn.checked) await switchLearning().catch(fail);
    else say();
    ready = true;
    learn.disabled = forget.disabled = false;
    await refresh();
  } catch (error) {
    fail(error);
  }
}

/** Shows what is suggested before the caret. */
async function refresh() {
  send.disabled = !ready || !text.value.trim();
  if (!ready) return;
  strip.ariaBusy = "true";
  const suggestions = await keyboard.suggest(beforeCaret());
  if (!suggestions) return; // a newer request will have some
  drawSuggestions(suggestions);
  strip.ariaBusy = "false";
}

function accept(word) {
  const before = beforeCaret();
  const { start } = rules.split(before);
  const typed = before.length - start;
  text.setRangeText(`${word} `, start, before.length, "end");
  // One tap for all letters that were missing, and the space.
  pressed.keys++;
  pressed.saved += Math.max(0, [...word].length + 1 - typed - 1);
  drawSaved();
  refresh().catch(fail);
}

function press(letters) {
  text.setRangeText(letters, text.selectionStart, text.selectionEnd, "end");
  pressed.keys++;
  drawSaved();
  refresh().catch(fail);
}

function backspace() {
  const { selectionStart: from, selectionEnd: to } = text;
  const character = [...text.value.slice(0, from)].at(-1) ?? "";
  text.setRangeText("", from === to ? from - character.length : from, to, "end");
  refresh().catch(fail);
}

async function submit() {
  const message = text.value.trim();
  if (!ready || !message) return;
  text.value = "";
  const item = document.createElement("li");
  item.textContent = message;
  messages.append(item);
  item.scrollIntoView();
  refresh().catch(fail);
  if (!learn.checked) return;
  status.textContent = "Learning…";
  const { sentences, losses } = await keyboard.learn(message);
  say(sentences);
  if (losses.length) {
    const note = document.createElement("small");
    note.textContent = "learned";
    item.append(note);
    item.scrollIntoView();
  }
  await refresh();
}

async function switchLearning() {
  if (learn.checked) status.textContent = "Opening the model that learns…";
  try {
    const { sentences, stored } = await keyboard.setLearning(learn.checked);
    localStorage.setItem("learn", learn.checked ? "yes" : "no");
    say(sentences, stored);
  } catch (error) {
    learn.checked = false;
    throw error;
  }
  await refresh();
}

async function forgetAll() {
  await keyboard.forget();
  document.querySelectorAll("#messages small").forEach((note) => note.remove());
  say();
  await refresh();
}

function say(sentences = 0, stored = "none") {
  status.className = "";
  const count = `${sentences} message${sentences === 1 ? "" : "s"}`;
  if (stored === "refused") status.textContent = "What was learned is of another model: not used";
  else if (learn.checked && sentences) status.textContent = `Learned from ${count}`;
  else if (learn.checked) status.textContent = "Ready to learn from what you send";
  else status.textContent = `${vocabularySize.toLocaleString("en")} words, on this device`;
}

function fail(error) {
  status.textContent = error.message;
  status.className = "failed";
}

function drawSuggestions(suggestions) {
  [...strip.children].forEach((button, i) => {
    const suggestion = suggestions[i];
    button.disabled = !suggestion;
    button.textContent = button.dataset.word = suggestion?.word ?? "";
    if (!suggestion) return;
    const share = document.createElement("small");
    share.textContent = percent(suggestion.probability);
    button.append(share);
  });
}

function drawSaved() {
  const total = pressed.keys + pressed.saved;
  const share = document.createElement("strong");
  share.textContent = percent(total && pressed.saved / total);
  saved.replaceChildren(share, `${pressed.saved} of ${total} keys saved`);
}

function percent(share) {
  return share && share < 0.01 ? "<1%" : `${Math.round(100 * share)}%`;
}

function drawKeys() {
  for (const letters of ROWS) {
    row(...Array.from(letters, (letter) => key(letter, () => press(letter))));
  }
  keys.lastChild.append(drawn("Backspace", BACKSPACE, key("", backspace, "wide")));
  row(
    key("?", () => press("?"), "wide"),
    key(",", () => press(","), "wide"),
    key("space", () => press(" "), "space"),
    key(".", () => press("."), "wide"),
    drawn("Send", RETURN, key("", () => composer.requestSubmit(), "wide return")),
  );
}

function row(...buttons) {
  const line = document.createElement("div");
  line.append(...buttons);
  keys.append(line);
}

function key(label, action, kind = "letter") {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.className = kind;
  button.addEventListener("click", action);
  return button;
}

function drawn(label, path, button) {
  button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}" /></svg>`;
  button.setAttribute("aria-label", label);
  return button;
}

function elements(...ids) {
  return ids.map((id) => document.getElementById(id));
}

function beforeCaret() {
  return text.value.slice(0, text.selectionStart);
}

// A tap must not take the caret out of the text.
for (const area of [strip, keys]) {
  area.addEventListener("pointerdown", (event) => event.preventDefault());
}
strip.addEventListener("click", (event) => {
  const word = event.target.closest("button")?.dataset.word;
  if (word) accept(word);
});
text.addEventListener("input", (event) => {
  // Of a composition the data is all of it so far, and each key brings it anew.
  if (event.inputType === "insertCompositionText") pressed.keys++;
  else if (event.inputType?.startsWith("insert")) pressed.keys += [...(event.data ?? " ")].length;
  drawSaved();
  refresh().catch(fail);
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
text.addEventListener("click", () => refresh().catch(fail));
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  submit().catch(fail);
});
learn.addEventListener("change", () => switchLearning().catch(fail));
forget.addEventListener("click", () => forgetAll().catch(fail));
text.focus();
start();
