/* Before anything is drawn: the theme that was chosen by hand, else the system's. A file of its own because the policy allows no inline script. */
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem('mien-theme');
  } catch (e) {
    /* storage may be switched off */
  }
  var dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
