"use strict";
// Light or dark, as the system has it until the reader chooses.
{
  const KEY = "cutline-theme";
  const select = document.querySelector("#theme");
  const read = () => { try { return localStorage.getItem(KEY) || ""; } catch { return ""; } };
  const keep = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* not allowed */ } };
  const set = (theme) => { document.documentElement.dataset.theme = theme; };

  set(read());
  select.value = read();
  select.addEventListener("change", () => { set(select.value); keep(select.value); });
  select.parentElement.hidden = false;
}
