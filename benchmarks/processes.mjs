// The processes of a browser, and the CPU time that they have used.
import { readdirSync, readFileSync } from "node:fs";

/** A map of processes: their parents and ticks (proc(5): utime and stime, 100 a second). */
function readAll() {
  const stats = new Map();
  for (const pid of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /, "").split(" ");
      stats.set(Number(pid), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
    } catch { /* it has ended */ }
  }
  return stats;
}

/** The process and those that it has started. */
export function processes(root, stats = readAll()) {
  const isOurs = (pid) => pid === root || (stats.has(pid) && isOurs(stats.get(pid).parent));
  return [...stats.keys()].filter(isOurs);
}

/** Seconds of CPU that a browser's processes have used. */
export function cpuSeconds(root) {
  const stats = readAll();
  return processes(root, stats).reduce((sum, pid) => sum + stats.get(pid).ticks / 100, 0);
}
