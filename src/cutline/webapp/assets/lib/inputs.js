// Pictures that a person chooses, drops or pastes, folders included; each is {file, path}.

const PICTURE = /\.(jpe?g|png|webp|gif|avif|bmp)$/i;

const isPicture = (file) => file.type.startsWith("image/") || PICTURE.test(file.name);

/** From the event of a file input. Only of a folder are other files left out without a word. */
export function fromInput({ files, webkitdirectory }) {
  const all = Array.from(files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
  return webkitdirectory ? all.filter(({ file }) => isPicture(file)) : all;
}

/** From a `DataTransfer`, dropped or pasted. */
export async function fromTransfer(transfer) {
  // all entries are taken before the first await: afterwards the browser has emptied the list
  const items = Array.from(transfer.items).filter(({ kind }) => kind === "file");
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = [];
  for (const { entry, file } of taken) {
    if (entry?.isDirectory) found.push(...(await fromFolder(entry)));
    else if (file) found.push({ file, path: file.name });
  }
  return found;
}

async function fromFolder(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (!some.length) break;
    entries.push(...some);
  }
  const found = [];
  for (const entry of entries.sort((one, other) => (one.fullPath < other.fullPath ? -1 : 1))) {
    if (entry.isDirectory) found.push(...(await fromFolder(entry)));
    else {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (isPicture(file)) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    }
  }
  return found;
}
