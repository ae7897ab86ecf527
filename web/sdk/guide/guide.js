// The page of examples: shows each one's own file, runs it when asked, and writes down what it says.

/** @param {HTMLElement} section */
async function show(section) {
  const file = `./${section.dataset.example}.js`;
  const code = section.appendChild(document.createElement("pre"));
  const button = section.appendChild(document.createElement("button"));
  button.textContent = "Run it";
  const said = section.appendChild(document.createElement("pre"));
  said.className = "said";
  said.hidden = true;
  said.setAttribute("role", "log");
  code.tabIndex = 0;
  code.textContent = (await (await fetch(new URL(file, import.meta.url))).text()).trim();

  // What people and servers say is text here, never markup.
  const say = (/** @type {unknown[]} */ ...words) => {
    said.append(words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" ") + "\n");
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.hidden = false;
    said.textContent = "";
    try {
      await (await import(file)).run(say);
      say("done");
    } catch (error) {
      say(String(error));
    }
    button.disabled = false;
  });
}

for (const section of document.querySelectorAll("section")) show(section);
