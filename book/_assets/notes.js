// The few places where the theme needs help, and style sheets cannot give it.
(() => {
  "use strict";

  // Who has only a keyboard scrolls what can be focused. The theme forgets formulas, figures and
  // what was folded when the page was opened.
  const reach = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const scrolls = getComputedStyle(target).overflowX !== "visible";
      if (scrolls && target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  window.addEventListener("load", async () => {
    await window.MathJax?.startup.promise;
    const boxes = 'pre, .cell_output, .pst-scrollable-table-container, mjx-container[display="true"]';
    for (const box of document.querySelectorAll(boxes)) reach.observe(box);
  });

  // Paper is white, and nothing on it unfolds.
  let undo = [];
  window.addEventListener("beforeprint", () => {
    const { theme } = document.documentElement.dataset;
    document.documentElement.dataset.theme = "light";
    const folded = [...document.querySelectorAll(".bd-content details:not([open])")];
    for (const details of folded) details.open = true;
    undo.push(() => {
      document.documentElement.dataset.theme = theme;
      for (const details of folded) details.open = false;
    });
  });
  window.addEventListener("afterprint", () => {
    for (const step of undo.reverse()) step();
    undo = [];
  });
})();
