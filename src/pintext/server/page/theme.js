// Not a module: it runs before anything is drawn, so that a page never flashes in the other theme.
// Without a choice of the reader's the system decides.

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  };
  const chosen = read();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const tell = () => {
    document.getElementById("theme")?.setAttribute("aria-pressed", isDark());
    dispatchEvent(new Event("themechange"));
  };
  system.addEventListener("change", tell);

  document.addEventListener("DOMContentLoaded", () => {
    tell();
    document.getElementById("theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("theme", root.dataset.theme);
      } catch {
        // it lasts as long as the page
      }
      tell();
    });
  });
})();
