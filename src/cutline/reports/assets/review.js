// One caption at a time: verdicts by key or button, each saved by the server before it is shown.
(() => {
  const find = (id) => document.getElementById(id);
  const queue = find("queue");
  if (!queue) return;
  const caption = find("caption");
  const BATCH = 50;
  const shades = { a: "--blue", e: "--changed", r: "--wrong", ".": "--raised" };
  let items = [], total = 0, place = 0, busy = false;

  async function ask(path, body) {
    const answer = await fetch(path, body && {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    return told;
  }

  function say(text, wrong = false) {
    find("said").textContent = text;
    find("said").classList.toggle("wrong", wrong);
  }

  function drawMap(letters) {
    const canvas = find("map"), width = Math.max(1, canvas.clientWidth);
    const side = Math.max(2, Math.min(16, Math.floor(Math.sqrt((width * 60) / letters.length))));
    const columns = Math.max(1, Math.floor(width / side));
    canvas.width = width;
    canvas.height = Math.ceil(letters.length / columns) * side;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    // light-dark() is resolved by the browser on an element, not in a variable
    const colours = {};
    const probe = document.createElement("span");
    document.body.append(probe);
    for (const [letter, name] of Object.entries(shades)) {
      probe.style.color = `var(${name})`;
      colours[letter] = getComputedStyle(probe).color || style.getPropertyValue(name);
    }
    probe.remove();
    [...letters].forEach((letter, number) => {
      pen.fillStyle = colours[letter];
      const gap = side > 4 ? 1 : 0;
      pen.fillRect((number % columns) * side, Math.floor(number / columns) * side, side - gap, side - gap);
    });
  }

  function showProgress(told) {
    const { accepted, edited, rejected } = told.verdicts;
    const done = accepted + edited + rejected;
    find("done").max = told.captions;
    find("done").value = done;
    find("counts").textContent =
      `${done.toLocaleString()} of ${told.captions.toLocaleString()} reviewed: ` +
      `${accepted.toLocaleString()} accepted, ${edited.toLocaleString()} edited, ` +
      `${rejected.toLocaleString()} rejected`;
    find("bound").textContent = told.sentence;
    drawMap(told.map);
  }

  function show() {
    const item = items[place];
    find("card").hidden = !item;
    find("place").textContent = total ? `${place + 1} of ${total.toLocaleString()}` : "nothing left";
    if (!item) return;
    find("name").textContent = item.name;
    const picture = find("picture");
    picture.alt = item.caption || item.model_caption;
    picture.src = `picture/${item.item}`;
    caption.value = item.caption;
    const sure = item.confidence == null ? "" : `confidence ${Math.round(100 * item.confidence)} %`;
    const was = item.verdict && item.model_caption !== item.caption
      ? `the model wrote: ${item.model_caption}` : "";
    find("facts").textContent = [item.verdict || "not reviewed", sure, was].filter(Boolean).join(" · ");
    for (const [button, verdict] of [["accept", "accepted"], ["edit", "edited"], ["reject", "rejected"]])
      find(button).setAttribute("aria-pressed", String(item.verdict === verdict));
    const ahead = items[place + 1];
    if (ahead) new Image().src = `picture/${ahead.item}`;
  }

  async function load(start) {
    const told = await ask(`items?queue=${queue.value}&start=${start}`);
    if (!start) items = [];
    items.push(...told.items);
    total = told.total;
  }

  async function move(by) {
    const wanted = place + by;
    if (wanted < 0 || wanted >= total) return say(by > 0 ? "This was the last one." : "This is the first one.");
    if (wanted >= items.length) await load(items.length);
    place = Math.min(wanted, items.length - 1);
    say("");
    show();
  }

  async function decide(verdict) {
    const item = items[place];
    if (!item || busy) return;
    busy = true;
    try {
      const told = await ask("verdict", { item: item.item, verdict, caption: caption.value });
      items[place] = told.item;
      showProgress(told.progress);
      caption.blur();
      if (verdict && place + 1 < total) await move(1);
      else show();
      say(`${verdict || "verdict taken back"}: ${told.item.name}`);
    } catch (error) {
      say(error.message || "The server does not answer: is the command still running?", true);
    } finally {
      busy = false;
    }
  }

  const acts = {
    a: () => decide("accepted"), r: () => decide("rejected"), u: () => decide(null),
    e: () => { caption.focus(); caption.select(); }, ArrowLeft: () => move(-1), ArrowRight: () => move(1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === caption) {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); decide("edited"); }
      if (event.key === "Escape") { caption.value = items[place].caption; caption.blur(); }
      return;
    }
    if (event.target.matches("select, input")) return;
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) { event.preventDefault(); act(); }
  });
  find("accept").onclick = acts.a;
  find("reject").onclick = acts.r;
  find("clear").onclick = acts.u;
  find("edit").onclick = () => {
    if (items[place] && caption.value.trim() !== items[place].caption) decide("edited");
    else acts.e();
  };
  find("previous").onclick = acts.ArrowLeft;
  find("next").onclick = acts.ArrowRight;
  find("form").onsubmit = (event) => event.preventDefault();

  async function begin() {
    place = 0;
    try {
      await load(0);
      show();
      showProgress(await ask("progress"));
    } catch (error) {
      say(error.message, true);
    }
  }
  queue.onchange = begin;
  begin();
})();
