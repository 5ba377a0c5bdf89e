// Runs a program with the firmware's modules on a MicroPython of 32 bits: its build for WebAssembly.
//     node on_32_bits.mjs /path/to/micropython.mjs FIRMWARE PROGRAM
// That build has no os.urandom; chance does not show in what is compared.
import fs from "node:fs";
import path from "node:path";

const [build, firmware, program] = process.argv.slice(2);
const { loadMicroPython } = await import(build);
const python = await loadMicroPython({ heapsize: 131072 });
const CHANCE = `
import sys
class Os:
    urandom = staticmethod(lambda size: bytes(range(1, size + 1)))
sys.modules["os"] = Os
`;
python.FS.mkdir("/meter");
for (const name of fs.readdirSync(path.join(firmware, "meter"))) {
  if (name.endsWith(".py")) {
    python.FS.writeFile(`/meter/${name}`, fs.readFileSync(path.join(firmware, "meter", name)));
  }
}
python.FS.writeFile("/chance.py", CHANCE);
try {
  python.runPython(`import sys\nsys.path.append("/")\nimport chance\n${program}`);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
