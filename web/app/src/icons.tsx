// Line icons, 24 x 24, drawn for this page. They are decoration: the words beside them say the same.
import type { ReactNode } from 'react'

function Icon({ children, className = 'size-5' }: { children: ReactNode; className?: string | undefined }) {
  return (
    <svg
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={'shrink-0 ' + className}
    >
      {children}
    </svg>
  )
}

interface Props {
  className?: string
}

export const LogoMark = ({ className = 'size-8' }: Props) => (
  <svg viewBox="0 0 32 32" aria-hidden="true" className={'shrink-0 ' + className}>
    <rect width="32" height="32" rx="8" className="fill-accent" />
    <g fill="none" strokeWidth="2.2" strokeLinecap="round" className="stroke-on-accent">
      <path d="M8 12V9.500A1.500 1.500 0 0 1 9.500 8H12M20 8h2.500A1.500 1.500 0 0 1 24 9.500V12M24 20v2.500a1.500 1.500 0 0 1-1.500 1.500H20M12 24H9.500A1.500 1.500 0 0 1 8 22.500V20" />
      <path d="M13 14v.6M19 14v.6M12.500 18.500c1.800 2 5.200 2 7 0" />
    </g>
  </svg>
)
export const Sun = (p: Props) => (
  <Icon {...p}>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 3v1.500M12 19.500V21M3 12h1.500M19.500 12H21M5.600 5.600l1.100 1.100M17.300 17.300l1.100 1.100M5.600 18.400l1.100-1.100M17.300 6.700l1.100-1.100" />
  </Icon>
)
export const Moon = (p: Props) => (
  <Icon {...p}>
    <path d="M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500Z" />
  </Icon>
)
export const Key = (p: Props) => (
  <Icon {...p}>
    <circle cx="8" cy="15" r="4" />
    <path d="m11 12 8-8M16 7l3 3M14 9l2 2" />
  </Icon>
)
export const Camera = (p: Props) => (
  <Icon {...p}>
    <path d="M4 8h3l1.500-2.500h7L17 8h3a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V9a1 1 0 0 1 1-1Z" />
    <circle cx="12" cy="13" r="3.500" />
  </Icon>
)
export const Photo = (p: Props) => (
  <Icon {...p}>
    <rect x="3" y="4" width="18" height="16" rx="2" />
    <circle cx="9" cy="10" r="1.600" />
    <path d="m4 18 5-4.500 3 2.500 4-4 4.500 4.500" />
  </Icon>
)
export const Trash = (p: Props) => (
  <Icon {...p}>
    <path d="M4 7h16M9 7V4.500h6V7M6 7l1 13h10l1-13M10 11v5M14 11v5" />
  </Icon>
)
export const Check = (p: Props) => (
  <Icon {...p}>
    <circle cx="12" cy="12" r="9" />
    <path d="m8 12.500 2.800 2.700L16 9.500" />
  </Icon>
)
export const Warning = (p: Props) => (
  <Icon {...p}>
    <path d="M12 4 2.800 19.500h18.400L12 4ZM12 10v4.500M12 17v.2" />
  </Icon>
)
export const Cross = (p: Props) => (
  <Icon {...p}>
    <circle cx="12" cy="12" r="9" />
    <path d="m9 9 6 6M15 9l-6 6" />
  </Icon>
)
export const Info = (p: Props) => (
  <Icon {...p}>
    <circle cx="12" cy="12" r="9" />
    <path d="M12 11v5.500M12 7.600v.2" />
  </Icon>
)
export const Person = (p: Props) => (
  <Icon {...p}>
    <circle cx="12" cy="8.500" r="4" />
    <path d="M4.500 20.500c.8-4 3.800-6 7.500-6s6.700 2 7.500 6" />
  </Icon>
)
export const People = (p: Props) => (
  <Icon {...p}>
    <circle cx="9" cy="9" r="3.500" />
    <path d="M2.500 19.500c.6-3.600 3.200-5.500 6.500-5.500s5.900 1.900 6.500 5.500M15.500 5.900a3.500 3.500 0 0 1 0 6.200M18 14.600c1.900.8 3.100 2.400 3.500 4.900" />
  </Icon>
)
export const Copy = (p: Props) => (
  <Icon {...p}>
    <rect x="8" y="8" width="12" height="12" rx="2" />
    <path d="M16 8V5a1 1 0 0 0-1-1H5a1 1 0 0 0-1 1v10a1 1 0 0 0 1 1h3" />
  </Icon>
)
